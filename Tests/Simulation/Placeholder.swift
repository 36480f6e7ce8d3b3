struct SimulationPlaceholder {}
