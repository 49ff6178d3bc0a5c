using System.Text.RegularExpressions;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// The regular expressions of adapter_config.json, which are Python's, with PEFT's ways of matching them. .NET's syntax contains nearly all of Python's; three spellings are
/// rewritten, and what .NET cannot read is refused.
/// </summary>
internal sealed class PythonPattern
{
    /// <summary>A pattern that backtracks without end must not hang who loads it; published ones need microseconds.</summary>
    private static readonly TimeSpan LongestMatch = TimeSpan.FromSeconds(2);

    private readonly string _adapter;
    private readonly string _key;
    private readonly string _source;
    private readonly Regex _regex;

    private PythonPattern(string adapter, string key, string source, string format)
    {
        (_adapter, _key, _source) = (adapter, key, source);
        try
        {
            _regex = new Regex(string.Format(System.Globalization.CultureInfo.InvariantCulture, format, Translate(source)), RegexOptions.CultureInvariant, LongestMatch);
        }
        catch (ArgumentException e)
        {
            throw new AdapterException(adapter, key, $"\"{CheckpointException.Printable(source)}\" is no regular expression that can be used here: {e.Message}", e);
        }
    }

    /// <summary>Python's <c>re.fullmatch</c>: a text for <c>target_modules</c> and <c>exclude_modules</c>.</summary>
    public static PythonPattern Whole(string adapter, string key, string source) => new(adapter, key, source, @"\A(?:{0})\z");

    /// <summary>A key of <c>rank_pattern</c> and <c>alpha_pattern</c>: the whole path, or its end after a point.</summary>
    public static PythonPattern End(string adapter, string key, string source) => new(adapter, key, source, @"\A(.*\.)?({0})$");

    /// <summary>An entry of <c>modules_to_save</c>: a part of the path between points, or several.</summary>
    public static PythonPattern Part(string adapter, string key, string source) => new(adapter, key, source, @"\A(^|.*\.){0}($|\..*)");

    /// <summary>Where a layer's number stands: after <paramref name="source"/>, or without one after the first part that a number follows. Group <c>layer</c> is the number.</summary>
    public static PythonPattern LayerIndex(string adapter, string? source) =>
        new(adapter, "layers_pattern", source ?? @"[^.]*", @"\A.*?\.{0}\.(?<layer>\d+)\.");

    public bool IsMatch(string path) => Match(path).Success;

    /// <summary>The layer of a path by a <see cref="LayerIndex"/> pattern; null where it has none.</summary>
    public int? Layer(string path) => Match(path) is { Success: true } match && int.TryParse(match.Groups["layer"].ValueSpan, out int layer) ? layer : null;

    private Match Match(string path)
    {
        try
        {
            return _regex.Match(path);
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new AdapterException(_adapter, _key, $"\"{CheckpointException.Printable(_source)}\" takes more than {LongestMatch.TotalSeconds} s on {path}; write it without nested repetitions", e);
        }
    }

    private static string Translate(string source)
    {
        if (source.Contains("(?P=", StringComparison.Ordinal))
        {
            throw new ArgumentException("(?P=name) is not supported; repeat the expression");
        }

        // \Z is Python's end of the text, .NET's \z; escapes are looked at in pairs, so that an escaped backslash before a Z stays one.
        return Regex.Replace(source, @"\\.", escape => escape.Value == @"\Z" ? @"\z" : escape.Value, RegexOptions.Singleline)
            .Replace("(?P<", "(?<", StringComparison.Ordinal);
    }
}
