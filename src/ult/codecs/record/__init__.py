"""Records of several columns as one sequence of symbols."""
