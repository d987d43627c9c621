"""What an owner does to a run before it is given away; the one place where owner meets trainer."""
