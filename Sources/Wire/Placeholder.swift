struct WirePlaceholder {}
