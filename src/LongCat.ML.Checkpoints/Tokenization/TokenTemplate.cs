namespace LongCat.ML.Checkpoints;

/// <summary>What a <c>post_processor</c> puts before and after the ids of a single text.</summary>
internal sealed class TokenTemplate
{
    private const string Supported = "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, Sequence";

    private readonly List<int> _before = [];
    private readonly List<int> _after = [];

    public IReadOnlyList<int> Before => _before;

    public IReadOnlyList<int> After => _after;

    /// <summary>The template that a file asks for; null asks for nothing.</summary>
    public static TokenTemplate Read(TokenizerNode node)
    {
        TokenTemplate template = new();
        if (!node.IsNull)
        {
            template.Add(node);
        }

        return template;
    }

    private void Add(TokenizerNode node)
    {
        switch (node.Type)
        {
            case "Sequence":
                foreach (TokenizerNode child in node["processors"].Items())
                {
                    Add(child);
                }

                break;
            case "ByteLevel":
                // Only trims offsets, which this package reports untrimmed so that they cover the text without gaps.
                break;
            case "TemplateProcessing":
                AddTemplate(node);
                break;
            case "BertProcessing" or "RobertaProcessing":
                _before.Insert(0, IdOf(node["cls"]));
                _after.Add(IdOf(node["sep"]));
                break;
            default:
                throw node.Unsupported(Supported);
        }
    }

    private static int IdOf(TokenizerNode pair)
    {
        TokenizerNode[] items = [.. pair.Items()];
        return items.Length == 2 ? items[1].Id() : throw pair.Expected("a token and its id");
    }

    /// <summary>A later processor wraps what the earlier ones made.</summary>
    private void AddTemplate(TokenizerNode node)
    {
        List<int> before = [], after = [];
        bool text = false;
        foreach (TokenizerNode item in node["single"].Items())
        {
            TokenizerNode special = item["SpecialToken"];
            if (special.IsNull)
            {
                if (text || item["Sequence"]["id"].Text() != "A")
                {
                    throw item.Expected("the text as `Sequence` A, once");
                }

                text = true;
                continue;
            }

            TokenizerNode token = node["special_tokens"][special["id"].Text()];
            (text ? after : before).AddRange(token["ids"].Items().Select(id => id.Id()));
        }

        if (!text)
        {
            throw node["single"].Expected("a `Sequence` with id A");
        }

        _before.InsertRange(0, before);
        _after.AddRange(after);
    }
}
