# make help, make tour, make sizes
