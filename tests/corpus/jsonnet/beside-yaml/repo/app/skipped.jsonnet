// +argocd:skip-file-rendering
error 'nor is this'
