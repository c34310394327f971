# error: Missing stack block | Missing proxy block
