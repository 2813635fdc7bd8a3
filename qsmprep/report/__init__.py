"""Figures, the participants' pages, the index over them, and the methods text with its citations."""
