{ from: 'app/deep' }
