"""`/v1/batches`: requests in a file, asked one after the other in the background, and their answers in another."""
