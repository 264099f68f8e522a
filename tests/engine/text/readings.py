"""Tables of written texts and how they are read, by kind and language. `docs/reading.md` shows them.

A row is a written text and its spoken form; " | " separates the chunks, and so the pauses. Each table has rows whose
text is changed, and rows with similar text that stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Rows = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Kind:
    title: str
    changed: dict[str, Rows]  # by language
    kept: dict[str, Rows]


KINDS = (
    Kind(
        "Titles without a period",
        {
            "en": (
                ("Mr Brown is here.", "Mister Brown is here."),
                ("Mrs Green called.", "Missus Green called."),
                ("Ms Hall and Dr Jones", "Miz Hall and Doctor Jones"),
                ("Prof Hill teaches.", "Professor Hill teaches."),
                ("Mr and Mrs Brown", "Mister and Missus Brown"),
                ("Dr & Mrs Jones", "Doctor and Missus Jones"),
                ("Dr J. Smith", "Doctor J Smith"),
                ("Good day, Mr! Mr?", "Good day, Mister! | Mister?"),
                ("We met Capt Cook and Sgt Pepper.", "We met Captain Cook and Sergeant Pepper."),
                ("Rev Green and Lt Dan", "Reverend Green and Lieutenant Dan"),
                ("MR BROWN IS HERE", "Mister brown is here"),
                ("ask dr Jones", "ask Doctor Jones"),
            ),
            "de": (
                ("Dr Müller und Prof Weber", "Doktor Müller und Professor Weber"),
                ("Hr Schmidt kommt.", "Herr Schmidt kommt."),
            ),
            "fr": (("Mr Dupont et Prof Petit", "Monsieur Dupont et Professeur Petit"),),
            "es": (
                ("El Sr García y la Dra López", "El Señor García y la Doctora López"),
                ("la sra Pérez", "la señora Pérez"),
            ),
            "it": (
                ("il sig Rossi e la Prof Verdi", "il signor Rossi e la Professor Verdi"),
                ("Dott Bianchi", "Dottor Bianchi"),
            ),
            "pt": (("O Sr Silva e a Dra Costa", "O Senhor Silva e a Doutora Costa"),),
            "nl": (("dhr Jansen en mevr Bakker", "de heer Jansen en mevrouw Bakker"),),
        },
        {
            "en": (
                ("the Dr is in", "the Dr is in"),
                ("an MR scan", "an M R scan"),
                ("10 ms later", "ten milliseconds later"),
                ("MS DOS", "M S D O S"),
                ("see Rev B", "see Rev B"),
                ("my prof said so", "my prof said so"),
                ("12 Oak Dr", "twelve Oak Drive"),
            ),
            "de": (("Der Prof ist da.", "Der Prof ist da."),),
            "es": (("El Sr. García", "El Señor García"),),
        },
    ),
    Kind(
        "HTML entities",
        {
            "en": (
                ("It&#x27;s late.", "It's late."),
                ("I don&#8217;t know.", "I don’t know."),
                ("It&rsquo;s a caf&eacute;.", "It’s a café."),
                ("AT&amp;T", "A T and T"),
                ("a &lt; b", "a less than b"),
                ("5 &gt; 3", "five greater than three"),
                ("Tom &amp;amp; Jerry", "Tom and Jerry"),
                ("It&amp;#39;s late.", "It's late."),
                ("one&nbsp;two", "one two"),
                ("5&nbsp;km", "five kilometers"),
                ("wait&hellip; no", "wait… no"),
                ("one &mdash; two", "one, two"),
                ("It&#146;s late.", "It’s late."),
                ("20&deg;C", "twenty degrees Celsius"),
                ("&quot;Go!&quot; she said.", '"Go!" she said.'),
                ("so&shy;me", "some"),
                ("Red.&#10;&#10;Blue.", "Red. | Blue."),
            ),
            "de": (("Gr&uuml;&szlig;e aus K&ouml;ln", "Grüße aus Köln"),),
            "fr": (("L&#039;&eacute;t&eacute; &agrave; 5&nbsp;&euro;", "L'été à cinq euros"),),
            "es": (("ma&ntilde;ana &iquest;no?", "mañana ¿no?"),),
            "it": (("perch&eacute; no", "perché no"),),
            "pt": (("amanh&atilde;", "amanhã"),),
            "nl": (("co&ouml;rdinatie", "coördinatie"),),
        },
        {
            "en": (
                ("AT&T", "A T and T"),
                ("R&D; more", "R and D; more"),
                ("you & me", "you and me"),
                ("Q&A, B&B", "Q and A, B and B"),
                ("&unknown; thing", "and unknown; thing"),
            ),
        },
    ),
    Kind(
        "Apostrophes",
        {
            "en": (
                ("He`ll go.", "He'll go."),
                ("I couldn´t.", "I couldn't."),
                ("itʼs here", "it's here"),
                ("it＇s here", "it's here"),
                ("it′s here", "it's here"),
                ("it‘s here", "it's here"),
                ("the dogs´ tails", "the dogs' tails"),
                ("the 1990´s", "the nineteen nineties"),
                ("**He`ll** go.", "He'll go."),
            ),
            "de": (("wie geht´s", "wie geht's"),),
            "fr": (("l´amour d`accord", "l'amour d'accord"), ("aujourdʼhui", "aujourd'hui")),
            "es": (("O´Higgins", "O'Higgins"),),
            "it": (("l`uomo dell´anno", "l'uomo dell'anno"),),
            "pt": (("d´água", "d'água"),),
            "nl": (("foto´s", "foto's"),),
        },
        {
            "en": (
                ("it’s here", "it’s here"),
                ("5′ tall", "five feet tall"),
                ("6′2″ tall", "six foot two tall"),
                ("the `code` here", "the code here"),
                ("``a`b``", "ab"),
            ),
        },
    ),
    Kind(
        "Sentences without a space between them",
        {
            "en": (
                ("I found it.It is on the table.", "I found it. | It is on the table."),
                ("We met Bob.He left.", "We met Bob. | He left."),
                ("Really?Yes! Stop!Now.", "Really? | Yes! | Stop! | Now."),
                ('She said "no."Then she left.', 'She said "no." | Then she left.'),
                ("He left (early).The end.", "He left (early). | The end."),
                ("It was in 2020.It rained.", "It was in twenty twenty. | It rained."),
                ("We met Dr.Smith there.", "We met Doctor Smith there."),
                ("the sea.Birds sang.", "the sea. | Birds sang."),
                ("I know.I'm here.That's it.", "I know. | I'm here. | That's it."),
                ("so it goes...Then we left", "so it goes... | Then we left"),
                ("the *end*.The start", "the end. | The start"),
                ("it.It&#x27;s", "it. | It's"),
            ),
            "de": (
                ("Es ist gut.Das Haus ist rot.", "Es ist gut. | Das Haus ist rot."),
                ("Ich sah das Haus.Peter kam.", "Ich sah das Haus. | Peter kam."),
            ),
            "fr": (
                ("Il est là.Elle arrive.", "Il est là. | Elle arrive."),
                ("Il vient.C'est bien.", "Il vient. | C'est bien."),
            ),
            "es": (("Está aquí.El libro es rojo.", "Está aquí. | El libro es rojo."), ("¿Vas?¡Sí!", "¿Vas? | ¡Sí!")),
            "it": (("Sono qui.Il libro è rosso.", "Sono qui. | Il libro è rosso."),),
            "pt": (("Estou aqui.O livro é bom.", "Estou aqui. | O livro é bom."),),
            "nl": (("Ik ben hier.Het boek is rood.", "Ik ben hier. | Het boek is rood."),),
        },
        {
            "en": (
                ("See example.com now.", "See example dot com now."),
                ("See Example.Com now.", "See Example dot Com now."),
                ("v1.2.It works", "v one dot two dot It works"),
                ("open report.Pdf and main.py", "open report dot P D F and main dot pie"),
                ("the U.S. and the U.S.A. agree", "the U S and the U S A agree"),
                ("J.R.R. Tolkien", "J R R Tolkien"),
                ("at 5 p.m.", "at five P M."),
                ("System.Out", "System.Out"),
                ("x.Y", "x.Y"),
                ("a Ph.D. student", "a P H D student"),
                ("so it goes...then we left", "so it goes...then we left"),
                ("wait...", "wait..."),
            ),
            "de": (("z.B. hier", "zum Beispiel hier"), ("mail an info@Firma.de", "mail an info ät Firma Punkt de")),
        },
    ),
    Kind(
        "Line breaks",
        {
            "en": (
                ("Red\nBlue\nGreen\nYellow", "Red | Blue | Green | Yellow"),
                ("A short heading\nThis is the paragraph.", "A short heading | This is the paragraph."),
                ("Dear Bob\nThank you.\nBest wishes\nAnn", "Dear Bob | Thank you. | Best wishes | Ann"),
                ("2 eggs\n3 apples", "two eggs | three apples"),
                ("Ingredients:\nFlour\nSalt", "Ingredients: | Flour | Salt"),
                ("Red<br>Blue<br/>Green", "Red | Blue | Green"),
                ("Red\r\nBlue", "Red | Blue"),
                ('One more\n"Two" it is', 'One more | "Two" it is'),
                ("One (first)\nTwo", "One (first) | Two"),
            ),
            "de": (
                ("Rot\nBlau\nEine Überschrift\nDas ist der Text.", "Rot | Blau | Eine Überschrift | Das ist der Text."),
            ),
            "fr": (("Rouge\nBleu\nÉcarlate", "Rouge | Bleu | Écarlate"),),
            "es": (("Rojo\n¿Azul?\nVerde", "Rojo | ¿Azul? | Verde"),),
            "it": (("Rosso\nBlu", "Rosso | Blu"),),
            "pt": (("Vermelho\nAzul", "Vermelho | Azul"),),
            "nl": (("Rood\nBlauw", "Rood | Blauw"),),
        },
        {
            "en": (
                (
                    "This paragraph is wrapped, as mail programs\ndo, in the middle of a line about London\nand Paris.",
                    "This paragraph is wrapped, as mail programs do, | in the middle of a line about London and Paris.",
                ),
                (
                    "We took the early train from the station in\nLondon to see our friends.",
                    "We took the early train from the station in London to see our friends.",
                ),
                (
                    "A wide window has wrapped this line of text after the name of Mary\nAnn Smith.",
                    "A wide window has wrapped this line of text after the name of Mary Ann Smith.",
                ),
                ("I live in the\nUnited States.", "I live in the United States."),
                ("Roses are red,\nViolets are blue.", "Roses are red, Violets are blue."),
                ("hello there\nhow are you", "hello there how are you"),
                ("We saw Dr\nSmith.", "We saw Doctor Smith."),
                ("I have\n5 cats", "I have five cats"),
            ),
            "de": (("Ich sehe das\nHaus.", "Ich sehe das Haus."),),
            "fr": (("Je vais à\nParis.", "Je vais à Paris."),),
            "es": (("Voy a\nMadrid.", "Voy a Madrid."),),
            "it": (("Vado a\nRoma.", "Vado a Roma."),),
            "pt": (("Vou para\nLisboa.", "Vou para Lisboa."),),
            "nl": (("Ik ga naar\nUtrecht.", "Ik ga naar Utrecht."),),
        },
    ),
    Kind(
        "Saint or street",
        {
            "en": (
                ("North St Andrew Lane", "North Saint Andrew Lane"),
                ("12 North St Andrew Lane", "twelve North Saint Andrew Lane"),
                ("We went to St Mary's.", "We went to Saint Mary's."),
                ("St Louis and Mount St Helens", "Saint Louis and Mount Saint Helens"),
                ("12 Oak St", "twelve Oak Street"),
                ("12 Oak St Springfield", "twelve Oak Street Springfield"),
                ("12 Oak St Apt 4", "twelve Oak Street Apt four"),
                ("the Wall St Journal", "the Wall Street Journal"),
                ("5th St NW", "fifth Street N W"),
                ("Oak St is long", "Oak Street is long"),
                ("12 St Andrew Road", "twelve Saint Andrew Road"),
                ("12 Oak Dr Springfield", "twelve Oak Drive Springfield"),
                ("12 Oak Ave Springfield", "twelve Oak Avenue Springfield"),
                ("Sts Peter and Paul", "Saints Peter and Paul"),
                ("St-Pierre", "Saint-Pierre"),
            ),
            "de": (
                ("Er wohnt in St. Pauli.", "Er wohnt in Sankt Pauli."),
                ("Hauptstr. 5 in St Gallen", "Hauptstraße fünf in Sankt Gallen"),
            ),
            "fr": (
                ("St-Étienne et Ste-Marie", "Saint-Étienne et Sainte-Marie"),
                ("bd St Germain", "boulevard Saint Germain"),
            ),
            "es": (("Sta. María y Sto. Domingo", "Santa María y Santo Domingo"), ("c/ Mayor 5", "calle Mayor cinco")),
            "it": (("p.za Roma", "piazza Roma"),),
            "pt": (("Sta. Maria", "Santa Maria"),),
            "nl": (("Kerkstr. 5", "Kerkstraat vijf"), ("St. Nicolaas", "Sint Nicolaas")),
        },
        {
            "en": (
                ("St. Mary lives on Main St.", "Saint Mary lives on Main Street."),
                ("the St of it", "the St of it"),
                ("sing the Ave Maria", "sing the Ave Maria"),
                ("On 3 May St George came.", "On the third of May Saint George came."),
                ("the 1st Dr Jones", "the first Doctor Jones"),
            ),
            "de": (("ein Astr", "ein Astr"),),
        },
    ),
    Kind(
        "Roman numerals",
        {
            "en": (
                ("World War II ended in May.", "World War two ended in May."),
                ("King Henry VIII of England", "King Henry the eighth of England"),
                ("Chapter IV", "Chapter four"),
                ("Part III begins", "Part three begins"),
                ("see part ii", "see part two"),
                ("Ⅳ", "four"),
                ("Ⅻ.", "twelve."),
                ("Henry Ⅷ", "Henry the eighth"),
                ("Henry VIII's wives", "Henry the eighth's wives"),
                ("Elizabeth II and Charles V", "Elizabeth the second and Charles the fifth"),
                ("Charles I of England", "Charles the first of England"),
                ("Pope John Paul II.", "Pope John Paul the second."),
                ("the XIX century", "the nineteenth century"),
                ("the XXth century", "the twentieth century"),
                ("Act I, Scene II", "Act one, Scene two"),
                ("Chapters I, II and III", "Chapters one, two and three"),
                ("Chapters II-IV", "Chapters two to four"),
                ("Rocky II", "Rocky two"),
                ("Final Fantasy VII", "Final Fantasy seven"),
                ("John Smith III", "John Smith the third"),
                ("a type II error", "a type two error"),
                ("It was World War II. The end.", "It was World War two. | The end."),
            ),
            "de": (("Ludwig XIV und Kapitel IV", "Ludwig der Vierzehnte und Kapitel vier"),),
            "fr": (
                ("Louis XIV et François Ier", "Louis quatorze et François premier"),
                ("au XIXe siècle", "au dix-neuvième siècle"),
                ("Chapitre IV", "Chapitre quatre"),
            ),
            "es": (
                ("Felipe VI y Alfonso XIII", "Felipe sexto y Alfonso trece"),
                ("el siglo XXI", "el siglo veintiuno"),
            ),
            "it": (("Luigi XIV nel XXI secolo", "Luigi quattordicesimo nel ventunesimo secolo"),),
            "pt": (("Dom João VI no século XXI", "Dom João sexto no século vinte e um"),),
            "nl": (("Willem III en hoofdstuk IV", "Willem de derde en hoofdstuk vier"),),
        },
        {
            "en": (
                ("I am here", "I am here"),
                ("MIX it", "mix it"),
                ("vitamin C", "vitamin C"),
                ("Malcolm X", "Malcolm X"),
                ("a CD and a DVD", "a C D and a D V D"),
                ("Henry I think so", "Henry I think so"),
                ("the part I like", "the part I like"),
                ("Give IV fluids", "Give I V fluids"),
                ("an IV drip", "an I V drip"),
                ("Section C", "Section C"),
                ("Model X", "Model X"),
                ("size XL", "size X L"),
                ("Windows XP", "Windows X P"),
                ("Dr. I. Smith", "Doctor I Smith"),
            ),
            "de": (("Vitamin C und CD", "Vitamin C und C D"),),
            "fr": (("la vitamine D", "la vitamine D"),),
            "it": (("I libri", "I libri"),),
        },
    ),
    Kind(
        "Codes and telephone numbers",
        {
            "en": (
                ("Your code is 418207.", "Your code is four one eight, two zero seven."),
                ("PIN is 4821", "PIN is four eight two one"),
                ("PIN: 2024", "PIN: two zero two four"),
                ("The code for the door is 1975.", "The code for the door is one nine seven five."),
                ("418207 is your login code.", "four one eight, two zero seven is your login code."),
                ("Use 4821 as your PIN.", "Use four eight two one as your PIN."),
                ("Call 5550142783.", "Call five five five, zero one four, two seven eight three."),
                ("Call 911 now", "Call nine one one now"),
                ("555 123 4567", "five five five, one two three, four five six seven"),
                ("020 7946 0958", "zero two zero, seven nine four six, zero nine five eight"),
                ("+44 20 7946 0958", "plus four four, two zero, seven nine four six, zero nine five eight"),
                ("07700 900123", "zero seven seven zero zero, nine zero zero one two three"),
                ("07700900123", "zero seven seven zero zero, nine zero zero, one two three"),
                ("ZIP code is 60614", "ZIP code is six zero six one four"),
                ("Chicago, IL 60614", "Chicago, I L six zero six one four"),
                ("60614-1234", "six zero six one four, one two three four"),
                ("order 00417", "order zero zero four one seven"),
                ("Order 41872 was shipped.", "Order four one eight seven two was shipped."),
                ("my account number is 12345678", "my account number is one two three four, five six seven eight"),
                ("my number is 5550142", "my number is five five five, zero one four two"),
                ("card ending in 4821", "card ending in four eight two one"),
            ),
            "de": (
                ("Dein Code ist 418207.", "Dein Code ist vier eins acht, zwei null sieben."),
                ("Tel. 030 1234567", "Tel. null drei null, eins zwei drei vier fünf sechs sieben"),
            ),
            "fr": (
                ("Le code est 4821.", "Le code est quatre huit deux un."),
                ("06 12 34 56 78", "zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit"),
            ),
            "es": (
                ("El código es 4821.", "El código es cuatro ocho dos uno."),
                ("Llame al 612 345 678", "Llame al seis uno dos, tres cuatro cinco, seis siete ocho"),
            ),
            "it": (("Il codice è 4821.", "Il codice è quattro otto due uno."),),
            "pt": (("O código é 4821.", "O código é quatro oito dois um."),),
            "nl": (("De code is 4821.", "De code is vier acht twee één."),),
        },
        {
            "en": (
                ("It costs $418207.", "It costs four hundred eighteen thousand two hundred seven dollars."),
                ("There are 4821 people.", "There are four thousand eight hundred twenty-one people."),
                ("in 1975", "in nineteen seventy-five"),
                ("the code has 4821 lines", "the code has four thousand eight hundred twenty-one lines"),
                ("I want to order 1500 units", "I want to order one thousand five hundred units"),
                ("error code 42", "error code forty-two"),
                ("Call 500 people", "Call five hundred people"),
                ("the code is done and it costs 4200", "the code is done and it costs four thousand two hundred"),
                ("10 20 30", "ten twenty thirty"),
                ("007", "zero zero seven"),
                ("the code is 500 MB", "the code is five hundred megabytes"),
            ),
            "fr": (("1 000 000 amis", "un million amis"),),
            "de": (("Es sind 4821 Leute.", "Es sind viertausendachthunderteinundzwanzig Leute."),),
        },
    ),
)


def languages(kind: Kind) -> list[str]:
    return [*kind.changed, *(language for language in kind.kept if language not in kind.changed)]
