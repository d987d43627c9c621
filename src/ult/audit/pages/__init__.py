"""What the pages of all audits share: the frame, the list of findings, the charts and the style."""
