struct HubPlaceholder {}
