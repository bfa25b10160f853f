"""Documents to ask on the page: a small handbook of hydropower."""

from __future__ import annotations

HANDBOOK = {
    "waterways.md": (
        "Waterways",
        (
            "A penstock is the pressure pipe that carries water from the headworks down to the turbine. "
            "It is usually made of welded steel and rests on saddles that let it move as it warms and cools. "
            "A gate at its upper end, the head gate, closes the penstock within two minutes when the "
            "control room loses "
            "power. Below the gate an air valve lets air in while the pipe empties, so that the vacuum "
            "does not crush it."
        ),
        {"chapter": 1.0},
    ),
    "water-hammer.md": (
        "Water hammer",
        (
            "When a valve closes quickly, the moving water is stopped and its momentum becomes a pressure wave. "
            "This wave is called water hammer, and it can burst a penstock. "
            "A surge tank close to the powerhouse takes up the wave: water rises in the tank instead "
            "of pressing on the "
            "pipe. Operators close the wicket gates over at least twelve seconds for the same reason."
        ),
        {"chapter": 2.0},
    ),
    "turbines.md": (
        "Choosing a turbine",
        (
            "Pelton wheels suit heads above 300 metres, where little water falls far. "
            "Francis turbines cover heads between 30 and 400 metres and are the most common. "
            "Kaplan turbines turn in low heads of up to 40 metres and keep their efficiency when the "
            "flow changes, because "
            "their blades can be adjusted."
        ),
        {"chapter": 3.0},
    ),
    "inspection.md": (
        "Inspection and upkeep",
        (
            "The penstock is emptied and walked once a year. "
            "Inspectors measure the thickness of the shell by ultrasound at fixed points; a loss of "
            "more than ten percent "
            "is reported the same day. The coating inside lasts about twenty years. "
            "Expansion joints are greased every six months."
        ),
        {"chapter": 4.0},
    ),
    "trash-racks.md": (
        "Trash racks",
        (
            "Bars in front of the intake keep branches and ice out of the waterway. "
            "A raking machine clears them whenever the water level behind the rack falls by 15 centimetres. "
            "Fish find a way around them through the bypass."
        ),
        {"chapter": 5.0},
    ),
    "black-start.md": (
        "Starting without the grid",
        (
            "A station that can start by itself after a blackout is said to be capable of a black start. "
            "A small diesel set opens the head gate and feeds the excitation; the first unit is at "
            "speed after ninety "
            "seconds. The other units follow from its power."
        ),
        {"chapter": 6.0},
    ),
}
