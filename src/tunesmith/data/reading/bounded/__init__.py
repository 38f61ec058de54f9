"""Reading in a process of its own, within a bound of memory and processor time.

Readers of other libraries unfold what a file says, however much that is: a workbook of 5 KB with a
cell in its last row and column takes 512 GB.
"""
