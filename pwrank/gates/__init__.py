"""What must hold: of the input before a stage reads it, of the lists before anybody sees them."""
