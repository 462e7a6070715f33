"""Plan to native objects, one room per framework; `choose` decides, from data alone, what carries a group out."""
