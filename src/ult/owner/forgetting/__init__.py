"""The owner's part of forgetting: find records by their ids, take them out of shards, and fit tables without them."""
