"""How good vector tables are: their nearest neighbours, by what is known of the items."""
