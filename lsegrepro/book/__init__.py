"""The book: helpers of its notebooks, its Sphinx extension, its build, and the page that runs in a browser."""
