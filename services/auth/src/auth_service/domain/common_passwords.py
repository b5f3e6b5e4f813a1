"""Passwords that guessers try first, in lower case."""

from __future__ import annotations

_WORDS = """
00000000 0987654321 11111111 11112222 11223344 112233445566 123123123 123321123 12341234 12344321 123456654321
12345678 1234567890 123456789a 12345678a 13131313 147258369 19841984 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qazxsw2
20002000 20202020 22446688 27182818 31415926 314159265 5201314a 66666666 741852963 789456123 87654321 88888888
987654321 99999999 a123456789 a1b2c3d4 aa123456 abc12345 abcd1234 abcdefg1 abracadabra admin123 admin1234
administrator aini1314 alexander alexandra america1 andromeda angel123 angels123 apollo11 apollo13 apple123
arsenal1 asdfghjk asdfghjkl ashley123 astronom astronomy astrophoto astrophysics autumn123 azerty123 azertyuiop
babygirl1 bailey123 banana123 barcelona baseball basketball batman123 bayern123 benjamin berlin123 bestfriend
blessed1 blink182 blueberry bonjour1 boston123 broncos1 brooklyn buster123 butter123 butterfly california
callofduty carolina caroline celestron challenger changeme changeme1 charlie1 cheese123 chelsea1 cherry123
chicago1 chocolate chouchou christian cisco123 computer contrasena contraseña cookie123 corazon1 correcthorse
correcthorsebatterystaple corvette cowboys1 cupcake1 dallas123 dearbook december default1 default123 deutschland
diamond1 discovery docker123 dolphins doudou123 dragon123 eagles123 elephant england1 enterprise estrella
facebook family123 february fernando ferrari1 ficken123 florida1 football football1 forever1 fortnite francisco
freedom1 friday123 friends1 gabriela galaxies galaxy123 gameover germany1 ginger123 godisgood goodbye1 goodluck
goodmorning google123 guest123 hallo123 hallowelt happy123 harley12 heaven123 hello123 hello1234 hellohello
helloworld hubble123 hunter123 hunter22 iloveu123 iloveyou iloveyou! iloveyou1 iloveyou2 iloveyou520 instagram
internet isabella january1 jenkins1 jennifer jessica1 jesus123 jesuschrist jonathan jordan23 jupiter1 juventus
kepler123 killer123 kobe2424 kubernetes lakers24 lebron23 letmein! letmein1 letmein123 letmeinnow letmeinplease
linkedin linux123 liverpool london123 loulou123 lovelove loveme123 loveyou1 lucky123 madison1 maggie123
manchester mariposa marseille master123 mercedes mercedes1 mercury1 metallica michael1 michael23 microsoft
minecraft monday123 monkey123 montana1 motdepasse mustang1 mylove123 mynameis mypassword mysecret mysql123
naruto123 ncc1701d ncc1701e nebula123 newpassword newyork1 nicholas nicolas1 nintendo nirvana1 nopassword
november observatory oldpassword opensesame oracle123 orange123 orion123 p4ssw0rd p4ssword p@ssw0rd p@ssword
pa$$word packers1 paris123 pass1234 pass12345 passpass passw0rd passw0rd1 password password! password01
password1 password11 password12 password123 password1234 password? passwords passwort passwort1 patriots
peanut123 pepper123 phoenix1 pineapple playstation pokemon1 pokemon123 postgres postgres1 princesa princess
q1w2e3r4 q1w2e3r4t5 qazwsx123 qazwsxedc qwerty12 qwerty123 qwerty1234 qwertyui qwertyuiop raiders1 raspberry
raspberrypi realmadrid redsox04 rocky123 root1234 rootroot samsung1 saturn123 savannah schalke04 secret12
secret123 senha123 september shadow123 skywatcher slipknot smile123 soleil123 sommer123 spaceman spring123
spring2024 stargazer startrek starwars steelers strawberry summer123 summer2020 summer2021 summer2022 summer2023
summer2024 sunday123 sunshine superman superman1 supernova sweetheart sweetie1 sydney123 teamo123 telescope
tequiero test1234 test12345 testing123 testtest texas123 thankyou1 thepassword thx11381 tomcat123 topsecret
toronto1 trustno1 twitter1 ubuntu123 veronica victoria virginia wachtwoord wang1234 welcome! welcome1 welcome123
whatever windows10 windows7 winter123 winter2020 winter2021 winter2022 winter2023 winter2024 woaini123
woaini1314 woaini520 xbox360x yankees1 yourpassword youtube1 zaq12wsx zaq1zaq1 zhang123 zxcvbnm1 zxcvbnm123
"""

COMMON_PASSWORDS = frozenset(_WORDS.split())
