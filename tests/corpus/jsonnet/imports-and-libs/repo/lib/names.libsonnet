{ main: 'of-lib' }
