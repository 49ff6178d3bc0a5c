using System.Text;
using System.Xml.Linq;

namespace LongCat.ML.Training.Corpus;

/// <summary>Renders the content of a documentation element as one line of plain text.</summary>
internal static class DocumentationText
{
    /// <summary>The text of an element: references by short name, white space collapsed, code blocks and inherited documentation left out.</summary>
    public static string Render(XElement? element, DocumentationNames names)
    {
        if (element is null)
        {
            return string.Empty;
        }

        StringBuilder text = new();
        Append(element, names, text);
        return Collapse(text);
    }

    private static void Append(XElement element, DocumentationNames names, StringBuilder text)
    {
        foreach (XNode node in element.Nodes())
        {
            if (node is XText plain)
            {
                text.Append(plain.Value);
            }
            else if (node is XElement child)
            {
                AppendElement(child, names, text);
            }
        }
    }

    private static void AppendElement(XElement child, DocumentationNames names, StringBuilder text)
    {
        switch (child.Name.LocalName)
        {
            case "see" or "seealso" or "xref":
                if (!child.IsEmpty && child.Value.Trim().Length > 0)
                {
                    Append(child, names, text);
                }
                else if ((string?)child.Attribute("langword") is { } word)
                {
                    text.Append(word);
                }
                else if ((string?)child.Attribute("cref") is { } cref)
                {
                    text.Append(names.Reference(cref));
                }
                else
                {
                    text.Append((string?)child.Attribute("href"));
                }

                break;
            case "paramref" or "typeparamref":
                text.Append((string?)child.Attribute("name"));
                break;
            case "code" or "example" or "inheritdoc" or "script" or "devremarks" or "format":
                text.Append(' ');
                break;
            case "para" or "p" or "br" or "item" or "term" or "description" or "list" or "listheader" or "li" or "ul" or "div":
                text.Append(' ');
                Append(child, names, text);
                text.Append(' ');
                break;
            default:
                Append(child, names, text);
                break;
        }
    }

    private static string Collapse(StringBuilder text)
    {
        StringBuilder result = new(text.Length);
        bool space = false;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (char.IsWhiteSpace(c) || char.IsControl(c))
            {
                space = result.Length > 0;
                continue;
            }

            if (space)
            {
                // Line breaks inside elements leave a space before a full stop or a comma that no reader would write.
                if (c is not ('.' or ',' or ';') || (i + 1 < text.Length && char.IsLetterOrDigit(text[i + 1])))
                {
                    result.Append(' ');
                }

                space = false;
            }

            result.Append(c);
        }

        return result.ToString();
    }
}
