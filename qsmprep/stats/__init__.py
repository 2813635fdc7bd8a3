"""Statistics of regional numbers and maps: pure functions, arrays and tables in, tidy tables out."""
