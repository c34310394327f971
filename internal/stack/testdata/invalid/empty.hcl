# error: Empty stack file
