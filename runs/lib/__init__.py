"""What the rows share: sessions, results, intervals, data, baselines, tables."""
