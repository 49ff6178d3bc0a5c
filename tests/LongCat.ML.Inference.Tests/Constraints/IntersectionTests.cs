using System.Diagnostics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;
using LongCat.ML.Inference.Constraints.Schemas;
using LongCat.ML.Inference.Constraints.Terms;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Constraints;

/// <summary>A pattern together with lengths: held against all short texts, and against .NET's regular expressions and a count of characters.</summary>
public sealed class IntersectionTests(ITestOutputHelper output)
{
    private static readonly JsonSerializerOptions s_relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // All texts of up to five of these characters: one byte, two bytes, an escape.
    private static readonly string[] s_texts = [.. Texts("ab0é\"", 5)];

    private static readonly string[] s_patterns =
    [
        "a", "ab|é", "^a", "b$", "^[ab]+$", "^(ab)*$", "^(aab?)*$", "^.{2,3}$", "^a{0,4}é?$", "^(a|bb|000)+$", "^[^a]*$", "[0é]b", "^$", "^$|^aa", "\"$", "^\"[^\"]*\"$", "^(a|ab)(0|b0)*$", "0.?é", "(?:a.){2}", "^\\d*\\D$",
    ];

    private static readonly (int Least, int? Most)[] s_lengths = [(0, 0), (0, 2), (1, 1), (2, null), (2, 4), (3, 3), (4, 5), (5, null)];

    [Fact]
    public void Every_short_text_is_allowed_just_where_the_pattern_is_found_and_the_length_fits()
    {
        int allowed = 0, refused = 0, empty = 0;
        foreach (string pattern in s_patterns)
        {
            Regex regex = new(pattern.Replace("$", "\\z", StringComparison.Ordinal), RegexOptions.CultureInvariant);
            bool[] found = [.. s_texts.Select(text => regex.IsMatch(text))];
            foreach ((int least, int? most) in s_lengths)
            {
                Term? term = Compile(pattern, least, most);
                empty += term is null ? 1 : 0;
                for (int i = 0; i < s_texts.Length; i++)
                {
                    int length = s_texts[i].Length;
                    bool expected = found[i] && length >= least && !(length > most);
                    Assert.True(expected == (term is not null && Accepts(term, Quoted(s_texts[i]))), $"'{s_texts[i]}' under {pattern}, {least}..{most}: expected {expected}");
                    (allowed, refused) = expected ? (allowed + 1, refused) : (allowed, refused + 1);
                }
            }
        }

        output.WriteLine($"{s_patterns.Length * s_lengths.Length} schemas, {empty} of them empty; {allowed} texts allowed, {refused} not");
        Assert.True(allowed > 10_000 && empty > 5);
    }

    [Theory]
    [InlineData("^(ab)*$", 3, 5)]
    [InlineData("^(aab?)*$", 4, 7)]
    [InlineData("b.d", 4, 5)]
    [InlineData("^[^a]*é$", 2, null)]
    [InlineData("^(a|bb|000)+$", 3, 4)]
    [InlineData("^(aaa|bbbbb)*$", 8, 8)]
    public void From_every_state_a_text_can_be_completed(string pattern, int least, int? most)
    {
        // Forwards everything that is reached, backwards what leads to an end.
        Term start = Compile(pattern, least, most)!;
        Dictionary<Term, List<Term>> before = new() { [start] = [] };
        Queue<Term> open = new([start]);
        while (open.TryDequeue(out Term? term))
        {
            foreach (Term next in Enumerable.Range(0, 256).Select(value => term.Next((byte)value)).Where(next => next is not FailTerm).Distinct())
            {
                if (!before.TryGetValue(next, out List<Term>? sources))
                {
                    before[next] = sources = [];
                    open.Enqueue(next);
                }

                sources.Add(term);
            }
        }

        HashSet<Term> ending = [.. before.Keys.Where(term => term.Nullable)];
        Queue<Term> back = new(ending);
        while (back.TryDequeue(out Term? term))
        {
            foreach (Term source in before[term].Where(ending.Add))
            {
                back.Enqueue(source);
            }
        }

        output.WriteLine($"{before.Count} states");
        Assert.Equal(before.Count, ending.Count);
        Assert.InRange(before.Count, 5, 5000);
    }

    [Fact]
    public void Large_lengths_cost_what_the_pattern_does()
    {
        Stopwatch time = Stopwatch.StartNew();
        Term term = Compile("^[a-z ]+$", 1000, 1_000_000)!;
        Term exact = Compile("^(ab)*$", 2000, 2000)!;
        Term cube = Compile("^(aaa|bbbbb)*$", 1_000_003, 1_000_003)!;
        output.WriteLine($"{time.ElapsedMilliseconds} ms");
        Assert.True(time.Elapsed < TimeSpan.FromSeconds(10), $"{time.Elapsed}");
        Assert.False(Accepts(term, Quoted(new string('x', 999))));
        Assert.True(Accepts(term, Quoted(new string('x', 1000))));
        Assert.True(Accepts(term, Quoted(new string('x', 5000))));
        Assert.True(Accepts(exact, Quoted(string.Concat(Enumerable.Repeat("ab", 1000)))));
        Assert.False(Accepts(exact, Quoted(string.Concat(Enumerable.Repeat("ab", 999)))));
        Assert.False(Accepts(exact, Quoted(string.Concat(Enumerable.Repeat("ab", 1001)))));
        Assert.True(cube.Next((byte)'"').Next((byte)'a') is not FailTerm);
    }

    [Fact]
    public void Arguments_as_plain_text_know_both_too()
    {
        JsonElement schema = JsonSerializer.SerializeToElement(new { properties = new { code = new { type = "string", pattern = "^[\"\\n-z]+$", minLength = 2, maxLength = 3 } } });
        Term text = Assert.Single(SchemaCompiler.Arguments(new TermPool(), schema)).Text!;
        foreach ((string candidate, bool expected) in new[] { ("\"a", true), ("a\nb", true), ("a", false), ("abcd", false), ("é!", false), ("", false) })
        {
            Assert.True(expected == Accepts(text, Encoding.UTF8.GetBytes(candidate)), candidate);
        }
    }

    internal static bool Accepts(Term term, ReadOnlySpan<byte> text)
    {
        foreach (byte value in text)
        {
            term = term.Next(value);
        }

        return term.Nullable;
    }

    internal static IEnumerable<string> Texts(string characters, int most) =>
        most == 0 ? [""] : [.. Texts(characters, most - 1), .. Texts(characters, most - 1).Where(text => text.Length == most - 1).SelectMany(text => characters.Select(character => text + character))];

    private static byte[] Quoted(string text) => JsonSerializer.SerializeToUtf8Bytes(text, s_relaxed);

    /// <summary>Null where nothing satisfies the schema.</summary>
    private static Term? Compile(string pattern, int least, int? most)
    {
        try
        {
            return SchemaCompiler.Compile(new TermPool(), most is null
                ? JsonSerializer.SerializeToElement(new { type = "string", pattern, minLength = least })
                : JsonSerializer.SerializeToElement(new { type = "string", pattern, minLength = least, maxLength = most }));
        }
        catch (InferenceException error) when (error.Message.Contains("no value satisfies", StringComparison.Ordinal))
        {
            return null;
        }
    }
}
