error 'a draft is not evaluated'
