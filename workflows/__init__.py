"""Nipype graphs, installed as `qsmprep.workflows`."""
