from cases import BASE, KEY, MODEL, QUESTION, case, check, command, run

command("cline", "auth", "--provider", "openai", "--apikey", KEY, "--modelid", MODEL, "--baseurl", BASE)


@case("a turn in plan mode with the stock prompt")
def _():
    check(command("cline", "--plan", "--auto-approve", "false", "--json", QUESTION))


run()
