"""Names that no scene may use. Data only."""

from __future__ import annotations

# People and places of sim_examples/harbour_town: what a model is tried on it must not have read.
HARBOUR_NAMES = frozenset(
    """amara anselm aurelia bronagh dov dragan elspeth emilio henrike ines joao karl kenji leyla
    mateo minh noor philomena piet saoirse sunniva thandiwe tomasz ulla yusuf""".split()
)
HARBOUR_PLACES = frozenset(
    name.strip()
    for name in """old quay; tally hall; harbour office; gull tavern; rooms above the gull;
    demir's bakery; ropewalk cottages; brandt's boatyard; net loft; st brannoc's; harbour school;
    surgery; chapel hill; hen point light; ferry steps; kessler's post office and stores;
    khumalo smokehouse; ice house; long shingle; hen sound""".replace("\n", " ").split(";")
)
# Whom every model calls its characters.
STOCK_NAMES = frozenset(
    """elena marcus sarah chen priya okafor kael lyra elara thorne mira finn maya leo aria jax zara
    sofia anya viktor hassan raj ravi luca isabella rosa tom anna ben sam lily eli silas ezra nadia
    tariq ingrid bjorn kofi kwame mei hiro yuki diego carlos lucia ivan dmitri natasha olga fatima
    omar aisha ahmed ali""".split()
)
