"""How few bits a weight a trained model can do with: its loss, measured again for each number."""
