{ main: 'of-vendor' }
