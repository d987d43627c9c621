"""What crosses the wall between owner and trainer: vocabulary, shards, runs, and what their files say."""
