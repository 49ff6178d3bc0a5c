using System.Text.RegularExpressions;

namespace LongCat.ML.Checkpoints;

/// <summary>The <c>decoder</c> of a character-level tokenizer: steps that each change the tokens of the one before, put together at the end. Thread-safe.</summary>
internal sealed class TokenDecoder
{
    private const string Supported = "Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence";

    private readonly List<Func<DecoderStep>> _steps = [];
    private bool _fused;

    private TokenDecoder()
    {
    }

    /// <summary>The decoder that a file asks for; none puts spaces between tokens.</summary>
    public static TokenDecoder Read(TokenizerNode node)
    {
        TokenDecoder decoder = new();
        if (node.IsNull)
        {
            decoder._steps.Add(() => new SpaceStep());
        }
        else
        {
            decoder.Add(node);
        }

        return decoder;
    }

    /// <summary>A chain that takes tokens one by one; it belongs to the caller.</summary>
    public DecoderChain Start() => new([.. _steps.Select(step => step())]);

    private void Add(TokenizerNode node)
    {
        switch (node.Type)
        {
            case "Sequence":
                foreach (TokenizerNode child in node["decoders"].Items())
                {
                    Add(child);
                }

                break;
            case "Replace":
                Regex pattern = RegexTranslator.Read(node["pattern"]);
                string content = node["content"].Text();
                AddWhole(() => new ReplaceStep(pattern, content), isPiecewise: node["pattern"]["String"].TextOrNull() is { Length: 1 });
                break;
            case "ByteFallback":
                AddWhole(() => new ByteFallbackStep(), isPiecewise: false);
                break;
            case "Fuse":
                _steps.Add(() => new FuseStep());
                _fused = true;
                break;
            case "Strip":
                string character = node["content"].Text();
                if (character.Length != 1 || char.IsSurrogate(character[0]))
                {
                    throw node["content"].Expected("one character up to U+FFFF");
                }

                int start = Count(node["start"]), stop = Count(node["stop"]);
                _steps.Add(() => new StripStep(character[0], start, stop));
                break;
            case "Metaspace":
                char replacement = MetaspaceStage.ReadReplacement(node);
                bool drops = MetaspaceStage.ReadScheme(node) != "never";
                _steps.Add(() => new MetaspaceStep(replacement, drops));
                break;
            default:
                throw node.Unsupported(Supported);
        }
    }

    /// <summary>A step that must see tokens whole collects the pieces of a fused one first.</summary>
    private void AddWhole(Func<DecoderStep> step, bool isPiecewise)
    {
        if (_fused && !isPiecewise)
        {
            _steps.Add(() => new CollectStep());
        }

        _steps.Add(step);
    }

    private static int Count(TokenizerNode node)
    {
        const int Most = 1024;
        return node.IsNull ? 0 : node.Element.ValueKind == System.Text.Json.JsonValueKind.Number && node.Element.TryGetInt32(out int count) && count is >= 0 and <= Most ? count : throw node.Expected($"a whole number from 0 to {Most}");
    }
}
