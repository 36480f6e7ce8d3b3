struct TransportPlaceholder {}
