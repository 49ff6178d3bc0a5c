using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Chat.Replies;
using LongCat.ML.Inference.Constraints.Schemas;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Chat.Prompts;

/// <summary>
/// Replies that are nothing but calls of tools in the model's own form, with arguments that satisfy the tools' schemas. Marks that the vocabulary has as tokens of their own are written with
/// those, as the model learned them.
/// </summary>
internal sealed class ToolCallConstraint
{
    private static readonly JsonSerializerOptions s_plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly TermPool _pool;
    private readonly JsonTerms _json;
    private readonly HuggingFaceTokenizer _tokenizer;

    private ToolCallConstraint(TermPool pool, HuggingFaceTokenizer tokenizer)
    {
        _pool = pool;
        _json = new JsonTerms(pool);
        _tokenizer = tokenizer;
    }

    /// <summary>A constraint to one call, or to one and more.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="format">How the model writes calls; one form at least.</param>
    /// <param name="tools">The tools that may be called, with the schemas of their arguments.</param>
    /// <param name="several">Whether more calls may follow the first.</param>
    /// <exception cref="InferenceException">A schema is malformed or uses what is not supported; the message has the tool's name and the place. Or the tokenizer cannot be constrained.</exception>
    public static OutputConstraint Create(HuggingFaceTokenizer tokenizer, ReplyFormat format, IReadOnlyList<(string Name, JsonElement Schema)> tools, bool several) =>
        OutputConstraint.Create(tokenizer, pool => new ToolCallConstraint(pool, tokenizer).Calls(format, tools, several));

    private Term Calls(ReplyFormat format, IReadOnlyList<(string Name, JsonElement Schema)> tools, bool several)
    {
        if (format.Tools.HasFlag(ToolCallFormats.LongCat))
        {
            return Tagged("<longcat_tool_call>", "</longcat_tool_call>", format.ArgumentPairs ? Each(tools, Pairs) : Lines(Each(tools, tool => Json(tool, "arguments"))), several);
        }

        if (format.Tools.HasFlag(ToolCallFormats.Qwen))
        {
            return Tagged("<tool_call>", "</tool_call>", Lines(Each(tools, tool => Json(tool, "arguments"))), several);
        }

        if (format.Tools.HasFlag(ToolCallFormats.Mistral))
        {
            return Mistral(tools, several);
        }

        return Each(tools, tool => Json(tool, "parameters"));
    }

    private Term Tagged(string open, string close, Term body, bool several)
    {
        Term call = _pool.Sequence(Mark(open), body, Mark(close));
        return !several ? call : _pool.Sequence(call, _pool.Repeat(_pool.Sequence(_pool.Optional(_pool.Byte((byte)'\n')), call), 0, null));
    }

    /// <summary>An array of calls, or where the vocabulary has a mark for arguments a name before it.</summary>
    private Term Mistral(IReadOnlyList<(string Name, JsonElement Schema)> tools, bool several)
    {
        const string Open = "[TOOL_CALLS]", Arguments = "[ARGS]";
        if (_tokenizer.TokenToId(Arguments) is not null)
        {
            Term call = _pool.Sequence(Mark(Open), Each(tools, tool => _pool.Sequence(_pool.Literal(tool.Name), Mark(Arguments), Object(tool))));
            return several ? _pool.Repeat(call, 1, null) : call;
        }

        Term one = Each(tools, tool => Json(tool, "arguments"));
        return _pool.Sequence(
            Mark(Open), _pool.Optional(_pool.Byte((byte)' ')), _pool.Byte((byte)'['), one, _pool.Repeat(_pool.Sequence(_json.Comma, one), 0, several ? null : 0), _pool.Byte((byte)']'));
    }

    private Term Lines(Term body)
    {
        Term line = _pool.Optional(_pool.Byte((byte)'\n'));
        return _pool.Sequence(line, body, line);
    }

    private Term Each(IReadOnlyList<(string Name, JsonElement Schema)> tools, Func<(string Name, JsonElement Schema), Term> call)
    {
        List<Term> calls = [];
        foreach ((string Name, JsonElement Schema) tool in tools)
        {
            try
            {
                calls.Add(call(tool));
            }
            catch (InferenceException error)
            {
                throw new InferenceException($"the arguments of the tool '{tool.Name}' cannot be constrained, which a required call needs: {error.Message}", error);
            }
        }

        return _pool.Choice(calls);
    }

    /// <summary>A call as a JSON object.</summary>
    private Term Json((string Name, JsonElement Schema) tool, string arguments) => _pool.Sequence(
        _pool.Byte((byte)'{'), _json.Break, _json.Key("name"), _pool.Literal(JsonSerializer.Serialize(tool.Name, s_plain)), _json.Comma, _json.Key(arguments), Object(tool), _json.Break, _pool.Byte((byte)'}'));

    private Term Object((string Name, JsonElement Schema) tool)
    {
        // A tool that says nothing of its arguments takes any.
        if (tool.Schema.ValueKind is JsonValueKind.Undefined or JsonValueKind.True || (tool.Schema.ValueKind == JsonValueKind.Object && !tool.Schema.EnumerateObject().Any()))
        {
            return SchemaCompiler.AnyObject(_pool);
        }

        RequireObject(tool.Schema);
        return SchemaCompiler.Compile(_pool, tool.Schema);
    }

    private static void RequireObject(JsonElement schema)
    {
        if (schema.ValueKind == JsonValueKind.Object && schema.TryGetProperty("type", out JsonElement type) && !(type.ValueKind == JsonValueKind.String && type.ValueEquals("object")))
        {
            throw new InferenceException($"JSON schema at '#/type': expected \"object\", since arguments are one, got {type.GetRawText()}");
        }
    }

    /// <summary>A call as a name and pairs of names and values: strings as they stand, anything else as JSON.</summary>
    private Term Pairs((string Name, JsonElement Schema) tool)
    {
        RequireObject(tool.Schema);
        Term line = _pool.Byte((byte)'\n');
        Term call = _pool.Empty;
        foreach (ArgumentTerms argument in SchemaCompiler.Arguments(_pool, tool.Schema).Reverse())
        {
            Term pair = _pool.Sequence(
                Mark("<longcat_arg_key>"), _pool.Literal(argument.Name), Mark("</longcat_arg_key>"), line, Mark("<longcat_arg_value>"), Value(argument), line);
            call = _pool.Sequence(argument.IsRequired ? pair : _pool.Optional(pair), call);
        }

        return _pool.Sequence(_pool.Literal(tool.Name), line, call);
    }

    /// <summary>A value with the mark that closes it.</summary>
    private Term Value(ArgumentTerms argument)
    {
        const string Close = "</longcat_arg_value>";
        return argument is { IsText: true, Text: null }
            ? _pool.Until(Encoding.UTF8.GetBytes(Close), 0, _tokenizer.TokenToId(Close) ?? -1, _pool.Empty)
            : _pool.Sequence(argument.Text ?? argument.Json, Mark(Close));
    }

    /// <summary>A mark as its token, or spelled out where the vocabulary has none.</summary>
    private Term Mark(string text) => _tokenizer.TokenToId(text) is { } id && _tokenizer.IsAdded(id) ? _pool.Mark(id) : _pool.Literal(text);
}
