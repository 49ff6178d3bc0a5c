using System.Runtime.CompilerServices;

namespace LongCat.ML.Checkpoints;

/// <summary>Turns a template's tokens into statements; the grammar of expressions is in the other part.</summary>
internal sealed partial class TemplateParser
{
    /// <summary>Published templates are nested less than a dozen deep.</summary>
    private const int Deepest = 100;

    private readonly List<TemplateToken> _tokens;
    private readonly string _name;
    private int _at;
    private int _depth;

    private TemplateParser(List<TemplateToken> tokens, string name)
    {
        _tokens = tokens;
        _name = name;
    }

    private TemplateToken Current => _tokens[_at];

    /// <summary>The statements of a template.</summary>
    /// <exception cref="ChatTemplateException">The template is malformed or uses what is not supported.</exception>
    public static TemplateStatement[] Parse(string source, string name)
    {
        TemplateParser parser = new(TemplateLexer.Read(source, name), name);
        TemplateStatement[] statements = parser.Statements(null);
        return parser.Current.Kind == TemplateTokenKind.End ? statements : throw parser.Unexpected("a statement or the end of the template");
    }

    /// <summary>Statements up to a block tag whose name is one of <paramref name="ends"/>, which stays current (after its <c>{%</c>).</summary>
    private TemplateStatement[] Statements(TemplateToken? opening, params ReadOnlySpan<string> ends)
    {
        Enter();
        List<TemplateStatement> statements = [];
        while (true)
        {
            TemplateToken token = Current;
            switch (token.Kind)
            {
                case TemplateTokenKind.Data:
                    _at++;
                    statements.Add(new DataStatement(_name, token.Line, token.Text));
                    continue;
                case TemplateTokenKind.VariableBegin:
                    _at++;
                    statements.Add(new PrintStatement(_name, token.Line, Tuple()));
                    Expect(TemplateTokenKind.VariableEnd, "`}}`");
                    continue;
                case TemplateTokenKind.BlockBegin:
                    _at++;
                    if (Current.Kind == TemplateTokenKind.Name && ends.Contains(Current.Text))
                    {
                        _depth--;
                        return [.. statements];
                    }

                    statements.Add(Statement());
                    Expect(TemplateTokenKind.BlockEnd, "`%}`");
                    continue;
                default:
                    if (opening is { } open)
                    {
                        throw new ChatTemplateException(_name, open.Line, $"`{open.Text}` is not closed; expected {string.Join(" or ", ends.ToArray().Select(end => $"`{{% {end} %}}`"))}");
                    }

                    _depth--;
                    return [.. statements];
            }
        }
    }

    private TemplateStatement Statement()
    {
        TemplateToken tag = Current;
        if (tag.Kind != TemplateTokenKind.Name)
        {
            throw Unexpected("the name of a statement");
        }

        _at++;
        return tag.Text switch
        {
            "if" => If(tag),
            "for" => For(tag),
            "set" => Set(tag),
            "macro" => Macro(tag),
            "call" => Call(tag),
            "filter" => Filter(tag),
            "with" => With(tag),
            "print" => Print(tag),
            "generation" => new BlockStatement(_name, tag.Line, Body(tag, "endgeneration")),
            "break" => new JumpStatement(_name, tag.Line, _loops > 0 ? TemplateSignal.Break : throw Misplaced(tag)),
            "continue" => new JumpStatement(_name, tag.Line, _loops > 0 ? TemplateSignal.Continue : throw Misplaced(tag)),
            "else" or "elif" or "endif" or "endfor" or "endset" or "endmacro" or "endcall" or "endfilter" or "endwith" or "endgeneration" =>
                throw new ChatTemplateException(_name, tag.Line, $"`{tag.Text}` closes nothing here"),
            _ => throw new ChatTemplateException(
                _name,
                tag.Line,
                $"the statement `{CheckpointException.Printable(tag.Text)}` is not supported; supported: if, for, set, macro, call, filter, with, print, break, continue, raw, generation"),
        };
    }

    private BlockStatement Print(TemplateToken tag)
    {
        List<TemplateStatement> prints = [];
        while (Current.Kind != TemplateTokenKind.BlockEnd)
        {
            if (prints.Count > 0)
            {
                Expect(",");
            }

            prints.Add(new PrintStatement(_name, tag.Line, Expression()));
        }

        return new BlockStatement(_name, tag.Line, [.. prints]);
    }

    private TemplateStatement[] Body(TemplateToken tag, string end)
    {
        Expect(TemplateTokenKind.BlockEnd, "`%}`");
        TemplateStatement[] body = Statements(tag, end);
        _at++;
        return body;
    }

    private IfStatement If(TemplateToken tag)
    {
        List<(TemplateExpression, TemplateStatement[])> branches = [];
        TemplateStatement[] otherwise = [];
        while (true)
        {
            TemplateExpression condition = Tuple(allowConditional: false);
            Expect(TemplateTokenKind.BlockEnd, "`%}`");
            branches.Add((condition, Statements(tag, "elif", "else", "endif")));
            TemplateToken next = Current;
            _at++;
            if (next.Text == "elif")
            {
                continue;
            }

            if (next.Text == "else")
            {
                otherwise = Body(tag, "endif");
            }

            return new IfStatement(_name, tag.Line, [.. branches], otherwise);
        }
    }

    private ForStatement For(TemplateToken tag)
    {
        TemplateTarget target = Target();
        ExpectName("in");
        TemplateExpression items = Tuple(allowConditional: false);
        TemplateExpression? condition = SkipName("if") ? Expression() : null;
        bool recursive = SkipName("recursive");
        Expect(TemplateTokenKind.BlockEnd, "`%}`");
        _loops++;
        TemplateStatement[] body = Statements(tag, "else", "endfor");
        _loops--;
        TemplateToken next = Current;
        _at++;
        return new ForStatement(_name, tag.Line, target, items, condition, recursive, body, next.Text == "else" ? Body(tag, "endfor") : []);
    }

    private TemplateStatement Set(TemplateToken tag)
    {
        TemplateTarget target = Target();
        if (Skip("="))
        {
            return new SetStatement(_name, tag.Line, target, Tuple());
        }

        TemplateExpression filters = new CapturedExpression(_name, tag.Line);
        for (int links = 0; Skip("|"); Link(ref links))
        {
            filters = FilterOf(filters);
        }

        return new SetBlockStatement(_name, tag.Line, target, filters, Inner(tag, "endset"));
    }

    private MacroStatement Macro(TemplateToken tag)
    {
        string name = ExpectName();
        TemplateSignature signature = Signature();
        return new MacroStatement(_name, tag.Line, name, signature, Inner(tag, "endmacro"));
    }

    private CallStatement Call(TemplateToken tag)
    {
        TemplateSignature signature = Current.Is("(") ? Signature() : new TemplateSignature([]);
        CallExpression call = Expression() as CallExpression ?? throw new ChatTemplateException(_name, tag.Line, "expected a call after `call`");
        return new CallStatement(_name, tag.Line, call, signature, Inner(tag, "endcall"));
    }

    private FilterStatement Filter(TemplateToken tag)
    {
        TemplateExpression filters = FilterOf(new CapturedExpression(_name, tag.Line));
        for (int links = 0; Skip("|"); Link(ref links))
        {
            filters = FilterOf(filters);
        }

        return new FilterStatement(_name, tag.Line, filters, Inner(tag, "endfilter"));
    }

    private WithStatement With(TemplateToken tag)
    {
        List<(TemplateTarget, TemplateExpression)> variables = [];
        while (Current.Kind != TemplateTokenKind.BlockEnd)
        {
            if (variables.Count > 0)
            {
                Expect(",");
            }

            TemplateTarget target = Target();
            Expect("=");
            variables.Add((target, Expression()));
        }

        return new WithStatement(_name, tag.Line, [.. variables], Body(tag, "endwith"));
    }

    /// <summary>The body of a block whose text is captured: a jump cannot leave it.</summary>
    private TemplateStatement[] Inner(TemplateToken tag, string end)
    {
        int loops = _loops;
        _loops = 0;
        TemplateStatement[] body = Body(tag, end);
        _loops = loops;
        return body;
    }

    private TemplateSignature Signature()
    {
        List<(string, TemplateExpression?)> parameters = [];
        Expect("(");
        while (!Current.Is(")"))
        {
            if (parameters.Count > 0)
            {
                Expect(",");
            }

            int line = Current.Line;
            string name = ExpectName();
            TemplateExpression? fallback = Skip("=") ? Expression() : null;
            if (fallback is null && parameters.Count > 0 && parameters[^1].Item2 is not null)
            {
                throw new ChatTemplateException(_name, line, $"the parameter `{name}` needs a default, as the one before it has one");
            }

            parameters.Add((name, fallback));
        }

        _at++;
        return new TemplateSignature([.. parameters]);
    }

    /// <summary>What is assigned to: names, attributes of namespaces, or several of them.</summary>
    private TemplateTarget Target()
    {
        Enter();
        List<TemplateTarget> parts = [];
        bool several = false;
        do
        {
            if (Skip("("))
            {
                parts.Add(Target());
                Expect(")");
                continue;
            }

            int line = Current.Line;
            string name = ExpectName();
            if (name is "true" or "false" or "none" or "True" or "False" or "None")
            {
                throw new ChatTemplateException(_name, line, $"cannot assign to `{name}`");
            }

            parts.Add(new TemplateTarget(name, Skip(".") ? ExpectName() : null));
        }
        while (Skip(",") && (several = true) && (Current.Kind == TemplateTokenKind.Name && !Current.IsName("in") || Current.Is("(")));
        _depth--;
        return several ? new TemplateTarget([.. parts]) : parts[0];
    }

    private int _loops;

    private ChatTemplateException Misplaced(TemplateToken tag) => new(_name, tag.Line, $"`{tag.Text}` is outside a loop");

    private void Enter()
    {
        if (++_depth > Deepest || !RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            throw new ChatTemplateException(_name, Current.Line, $"the template is nested deeper than {Deepest}");
        }
    }

    private void Expect(TemplateTokenKind kind, string what)
    {
        if (Current.Kind != kind)
        {
            throw Unexpected(what);
        }

        _at++;
    }

    private void Expect(string symbol)
    {
        if (!Skip(symbol))
        {
            throw Unexpected($"`{symbol}`");
        }
    }

    private string ExpectName()
    {
        string name = Current.Kind == TemplateTokenKind.Name ? Current.Text : throw Unexpected("a name");
        _at++;
        return name;
    }

    private void ExpectName(string name)
    {
        if (!SkipName(name))
        {
            throw Unexpected($"`{name}`");
        }
    }

    private bool Skip(string symbol)
    {
        bool found = Current.Is(symbol);
        _at += found ? 1 : 0;
        return found;
    }

    private bool SkipName(string name)
    {
        bool found = Current.IsName(name);
        _at += found ? 1 : 0;
        return found;
    }

    private ChatTemplateException Unexpected(string expected) => new(_name, Current.Line, $"expected {expected}, got {Current.Described}");
}
