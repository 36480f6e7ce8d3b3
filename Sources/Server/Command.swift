/// The process: one call from main.
public func runMarketHub() {}
