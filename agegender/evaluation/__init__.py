"""From a table of predictions to numbers, intervals, tables and figures."""
