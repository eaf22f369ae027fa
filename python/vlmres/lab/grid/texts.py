"""What the grid's pages say: the Universal Declaration of Human Rights (United Nations, 1948; in the public domain).

Of the Chinese the commas are set as pauses.
"""

LATIN = """
All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should
act towards one another in a spirit of brotherhood. Everyone is entitled to all the rights and freedoms set forth in
this Declaration, without distinction of any kind, such as race, colour, sex, language, religion, political or other
opinion, national or social origin, property, birth or other status. Furthermore, no distinction shall be made on the
basis of the political, jurisdictional or international status of the country or territory to which a person belongs,
whether it be independent, trust, non-self-governing or under any other limitation of sovereignty. Everyone has the
right to life, liberty and security of person. No one shall be held in slavery or servitude; slavery and the slave trade
shall be prohibited in all their forms. No one shall be subjected to torture or to cruel, inhuman or degrading treatment
or punishment. Everyone has the right to recognition everywhere as a person before the law. All are equal before the law
and are entitled without any discrimination to equal protection of the law. Everyone has the right to an effective
remedy by the competent national tribunals for acts violating the fundamental rights granted him by the constitution or
by law. No one shall be subjected to arbitrary arrest, detention or exile. Everyone has the right to freedom of movement
and residence within the borders of each state. Everyone has the right to leave any country, including his own, and to
return to his country. Everyone has the right to own property alone as well as in association with others. Everyone has
the right to freedom of thought, conscience and religion; this right includes freedom to change his religion or belief.
Everyone has the right to education. Education shall be free, at least in the elementary and fundamental stages.
"""

HAN = (
    "人人生而自由、在尊严和权利上一律平等。他们赋有理性和良心、并应以兄弟关系的精神相对待。"
    "人人有资格享受本宣言所载的一切权利和自由、不分种族、肤色、性别、语言、宗教、政治或其他见解、国籍或社会出身、"
    "财产、出生或其他身份等任何区别。人人有权享有生命、自由和人身安全。任何人不得使为奴隶或奴役、"
    "一切形式的奴隶制度和奴隶买卖、均应予以禁止。任何人不得加以酷刑、或施以残忍的、不人道的或侮辱性的待遇或刑罚。"
    "人人在任何地方有权被承认在法律前的人格。法律之前人人平等、并有权享受法律的平等保护、不受任何歧视。"
    "任何人不得加以任意逮捕、拘禁或放逐。人人在各国境内有权自由迁徙和居住。人人都有受教育的权利。"
)
