{ name: error 'no name was given' }
