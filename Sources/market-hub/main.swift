import Server

runMarketHub()
