namespace LongCat.ML.Checkpoints;

/// <summary>Expressions, loosest operators first: if-else, or, and, not, comparisons, + -, ~, * / // %, **, signs, then calls, subscripts, filters and tests.</summary>
internal sealed partial class TemplateParser
{
    /// <summary>A chain of operators is evaluated as deep as it is long; published templates chain a dozen.</summary>
    private const int LongestChain = 500;

    /// <summary>One expression, or several with commas between them: a tuple.</summary>
    private TemplateExpression Tuple(bool allowConditional = true, bool parenthesized = false)
    {
        int line = Current.Line;
        List<TemplateExpression> items = [];
        bool tuple = false;
        while (!TupleEnds())
        {
            items.Add(allowConditional ? Expression() : Or());
            if (!Skip(","))
            {
                break;
            }

            tuple = true;
        }

        return !tuple && items.Count == 1 ? items[0] : tuple || parenthesized ? new ListExpression(_name, line, [.. items], isTuple: true) : throw Unexpected("an expression");
    }

    private void Link(ref int links)
    {
        if (++links > LongestChain)
        {
            throw new ChatTemplateException(_name, Current.Line, $"more than {LongestChain} operators follow each other; expected fewer");
        }
    }

    private bool TupleEnds() => Current.Kind is TemplateTokenKind.VariableEnd or TemplateTokenKind.BlockEnd or TemplateTokenKind.End || Current.Is(")");

    private TemplateExpression Expression()
    {
        Enter();
        int line = Current.Line;
        TemplateExpression value = Or();
        for (int links = 0; SkipName("if"); Link(ref links))
        {
            TemplateExpression condition = Or();
            value = new ConditionalExpression(_name, line, condition, value, SkipName("else") ? Expression() : null);
            line = Current.Line;
        }

        _depth--;
        return value;
    }

    private TemplateExpression Or()
    {
        int line = Current.Line;
        TemplateExpression left = And();
        for (int links = 0; SkipName("or"); Link(ref links))
        {
            left = new LogicalExpression(_name, line, isAnd: false, left, And());
        }

        return left;
    }

    private TemplateExpression And()
    {
        int line = Current.Line;
        TemplateExpression left = Not();
        for (int links = 0; SkipName("and"); Link(ref links))
        {
            left = new LogicalExpression(_name, line, isAnd: true, left, Not());
        }

        return left;
    }

    private TemplateExpression Not()
    {
        int line = Current.Line;
        if (!SkipName("not"))
        {
            return Comparison();
        }

        Enter();
        TemplateExpression operand = Not();
        _depth--;
        return new NotExpression(_name, line, operand);
    }

    private TemplateExpression Comparison()
    {
        int line = Current.Line;
        TemplateExpression first = Sum();
        List<(string, TemplateExpression)> rest = [];
        while (true)
        {
            string? symbol = Current switch
            {
                { Kind: TemplateTokenKind.Operator, Text: "==" or "!=" or "<" or "<=" or ">" or ">=" } token => token.Text,
                { Kind: TemplateTokenKind.Name, Text: "in" } => "in",
                { Kind: TemplateTokenKind.Name, Text: "not" } when _tokens[_at + 1].IsName("in") => "not in",
                _ => null,
            };
            if (symbol is null)
            {
                break;
            }

            _at += symbol == "not in" ? 2 : 1;
            rest.Add((symbol, Sum()));
        }

        return rest.Count == 0 ? first : new ComparisonExpression(_name, line, first, [.. rest]);
    }

    private TemplateExpression Sum()
    {
        int line = Current.Line;
        TemplateExpression left = Concatenation();
        for (int links = 0; Current.Is("+") || Current.Is("-"); Link(ref links))
        {
            string symbol = _tokens[_at++].Text;
            left = new ArithmeticExpression(_name, line, symbol, left, Concatenation());
        }

        return left;
    }

    private TemplateExpression Concatenation()
    {
        int line = Current.Line;
        List<TemplateExpression> parts = [Product()];
        while (Skip("~"))
        {
            parts.Add(Product());
        }

        return parts.Count == 1 ? parts[0] : new ConcatenationExpression(_name, line, [.. parts]);
    }

    private TemplateExpression Product()
    {
        int line = Current.Line;
        TemplateExpression left = Power();
        for (int links = 0; Current.Is("*") || Current.Is("/") || Current.Is("//") || Current.Is("%"); Link(ref links))
        {
            string symbol = _tokens[_at++].Text;
            left = new ArithmeticExpression(_name, line, symbol, left, Power());
        }

        return left;
    }

    /// <summary>Powers group from the left, in Jinja other than in Python.</summary>
    private TemplateExpression Power()
    {
        int line = Current.Line;
        TemplateExpression left = Unary(filters: true);
        for (int links = 0; Skip("**"); Link(ref links))
        {
            left = new ArithmeticExpression(_name, line, "**", left, Unary(filters: true));
        }

        return left;
    }

    private TemplateExpression Unary(bool filters)
    {
        Enter();
        int line = Current.Line;
        TemplateExpression value = Skip("-") ? new SignExpression(_name, line, negative: true, Unary(filters: false))
            : Skip("+") ? new SignExpression(_name, line, negative: false, Unary(filters: false))
            : Primary();
        value = Postfix(value);
        value = filters ? FiltersAndTests(value) : value;
        _depth--;
        return value;
    }

    private TemplateExpression Primary()
    {
        TemplateToken token = Current;
        _at++;
        switch (token.Kind)
        {
            case TemplateTokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new ConstantExpression(_name, token.Line, true),
                    "false" or "False" => new ConstantExpression(_name, token.Line, false),
                    "none" or "None" => new ConstantExpression(_name, token.Line, null),
                    _ => new NameExpression(_name, token.Line, token.Text),
                };
            case TemplateTokenKind.Number:
                return new ConstantExpression(_name, token.Line, token.Number);
            case TemplateTokenKind.String:
                List<string> parts = [token.Text];
                for (; Current.Kind == TemplateTokenKind.String; _at++)
                {
                    parts.Add(Current.Text);
                }

                return new ConstantExpression(_name, token.Line, string.Concat(parts));
            case TemplateTokenKind.Operator when token.Text == "(":
                TemplateExpression inner = Tuple(parenthesized: true);
                Expect(")");
                return inner;
            case TemplateTokenKind.Operator when token.Text == "[":
                return new ListExpression(_name, token.Line, [.. Items("]")], isTuple: false);
            case TemplateTokenKind.Operator when token.Text == "{":
                return Map(token);
            default:
                _at--;
                throw Unexpected("an expression");
        }
    }

    private List<TemplateExpression> Items(string close)
    {
        List<TemplateExpression> items = [];
        while (!Skip(close))
        {
            if (items.Count > 0)
            {
                Expect(",");
                if (Skip(close))
                {
                    break;
                }
            }

            items.Add(Expression());
        }

        return items;
    }

    private MapExpression Map(TemplateToken token)
    {
        List<(TemplateExpression, TemplateExpression)> entries = [];
        while (!Skip("}"))
        {
            if (entries.Count > 0)
            {
                Expect(",");
                if (Skip("}"))
                {
                    break;
                }
            }

            TemplateExpression key = Expression();
            Expect(":");
            entries.Add((key, Expression()));
        }

        return new MapExpression(_name, token.Line, [.. entries]);
    }

    private TemplateExpression Postfix(TemplateExpression value)
    {
        for (int links = 0; ; Link(ref links))
        {
            TemplateToken token = Current;
            if (Skip("."))
            {
                value = Current.Kind == TemplateTokenKind.Number && Current.Number is long
                    ? new ItemExpression(_name, token.Line, value, new ConstantExpression(_name, token.Line, _tokens[_at++].Number))
                    : new AttributeExpression(_name, token.Line, value, ExpectName());
            }
            else if (Skip("["))
            {
                value = Subscript(token, value);
            }
            else if (token.Is("("))
            {
                value = new CallExpression(_name, token.Line, value, Arguments());
            }
            else
            {
                return value;
            }
        }
    }

    private TemplateExpression Subscript(TemplateToken token, TemplateExpression value)
    {
        TemplateExpression? start = Current.Is(":") ? null : Expression();
        if (start is not null && !Current.Is(":"))
        {
            if (Current.Is(","))
            {
                List<TemplateExpression> keys = [start];
                while (Skip(","))
                {
                    keys.Add(Expression());
                }

                start = new ListExpression(_name, token.Line, [.. keys], isTuple: true);
            }

            Expect("]");
            return new ItemExpression(_name, token.Line, value, start);
        }

        Expect(":");
        TemplateExpression? stop = Current.Is(":") || Current.Is("]") ? null : Expression();
        TemplateExpression? step = Skip(":") && !Current.Is("]") ? Expression() : null;
        Expect("]");
        return new SliceExpression(_name, token.Line, value, start, stop, step);
    }

    private TemplateExpression FiltersAndTests(TemplateExpression value)
    {
        for (int links = 0; ; Link(ref links))
        {
            TemplateToken token = Current;
            if (Skip("|"))
            {
                value = FilterOf(value);
            }
            else if (SkipName("is"))
            {
                value = Test(token, value);
            }
            else if (token.Is("("))
            {
                value = new CallExpression(_name, token.Line, value, Arguments());
            }
            else
            {
                return value;
            }
        }
    }

    private FilterExpression FilterOf(TemplateExpression value)
    {
        int line = Current.Line;
        string name = ExpectName();
        TemplateFilter filter = TemplateFilters.Find(name) ?? throw new ChatTemplateException(_name, line, $"the filter `{CheckpointException.Printable(name)}` is not supported");
        return new FilterExpression(_name, line, value, filter, Current.Is("(") ? Arguments() : ArgumentExpressions.None);
    }

    private TemplateExpression Test(TemplateToken token, TemplateExpression value)
    {
        bool negated = SkipName("not");
        int line = Current.Line;
        string name = ExpectName();
        TemplateTest test = TemplateTests.Find(name) ?? throw new ChatTemplateException(_name, line, $"the test `{CheckpointException.Printable(name)}` is not supported");
        ArgumentExpressions arguments = ArgumentExpressions.None;
        if (Current.Is("("))
        {
            arguments = Arguments();
        }
        else if (StartsTestArgument())
        {
            arguments = new ArgumentExpressions([Postfix(Primary())], []);
        }

        TemplateExpression result = new TestExpression(_name, token.Line, value, test, arguments);
        return negated ? new NotExpression(_name, token.Line, result) : result;
    }

    /// <summary>An argument without brackets, as in <c>x is divisibleby 3</c>.</summary>
    private bool StartsTestArgument() => Current.Kind switch
    {
        TemplateTokenKind.String or TemplateTokenKind.Number => true,
        TemplateTokenKind.Operator => Current.Text is "[" or "{",
        TemplateTokenKind.Name => Current.Text is "is" ? throw Unexpected("no second `is`") : Current.Text is not ("else" or "or" or "and" or "if" or "not" or "in" or "recursive"),
        _ => false,
    };

    private ArgumentExpressions Arguments()
    {
        Enter();
        List<TemplateExpression> positional = [];
        List<(string, TemplateExpression)> named = [];
        TemplateExpression? list = null, map = null;
        Expect("(");
        for (bool first = true; !Skip(")"); first = false)
        {
            if (!first)
            {
                Expect(",");
                if (Skip(")"))
                {
                    break;
                }
            }

            TemplateToken token = Current;
            if (map is not null || (list is not null && !token.Is("**")))
            {
                throw new ChatTemplateException(_name, token.Line, "nothing but `**` can follow `*`, and nothing `**`");
            }

            if (Skip("*"))
            {
                list = Expression();
            }
            else if (Skip("**"))
            {
                map = Expression();
            }
            else if (token.Kind == TemplateTokenKind.Name && _tokens[_at + 1].Is("="))
            {
                _at += 2;
                named.Add((token.Text, Expression()));
            }
            else if (named.Count > 0)
            {
                throw new ChatTemplateException(_name, token.Line, "an argument without a name cannot follow one with a name");
            }
            else
            {
                positional.Add(Expression());
            }
        }

        _depth--;
        return new ArgumentExpressions([.. positional], [.. named], list, map);
    }
}
