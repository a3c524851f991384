"""How results show themselves: a line in a terminal, a card in a notebook, pictures, and one set of colours."""
