{ labels: { app: 'web' } }
