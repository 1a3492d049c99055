"""What an object must look like, as the API server publishes it: for objects that it cannot try yet."""
