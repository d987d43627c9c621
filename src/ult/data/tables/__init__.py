"""Files of named columns: CSV, Parquet, Arrow, workbooks and databases."""
