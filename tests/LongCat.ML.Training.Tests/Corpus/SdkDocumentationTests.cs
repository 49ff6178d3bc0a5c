using LongCat.ML.Training.Corpus;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.Corpus;

public sealed class SdkDocumentationTests(ITestOutputHelper output)
{
    private const string Sample = """
        <doc><assembly><name>Sample</name></assembly><members>
        <member name="T:Demo.Text.Bag`1"><summary>Holds items.</summary><typeparam name="TItem">The item.</typeparam></member>
        <member name="T:Demo.Text.Bag`1.Cursor"><summary>Walks a <see cref="T:Demo.Text.Bag`1" />.</summary></member>
        <member name="M:Demo.Text.Bag`1.#ctor(System.Int32)"><summary>Makes a bag.</summary><param name="size">How many.</param></member>
        <member name="M:Demo.Text.Bag`1.Add(`0,System.Collections.Generic.IEnumerable{`0},System.Nullable{System.Int32}@)">
          <summary>Adds <paramref name="item" /> <see langword="null" />
             to the <see cref="T:Demo.Text.Bag`1" />
          , see <see cref="M:Demo.Text.Bag`1.Add(`0)" /> and <see cref="Overload:Demo.Text.Bag`1.Put" />.</summary>
          <param name="item">The item.</param><param name="others">More <c>items</c>.</param><param name="count" />
          <returns><see langword="true" /> if added.</returns></member>
        <member name="M:Demo.Text.Bag`1.Cast``1(``0[],`0[0:,0:])"><summary>Casts.</summary><typeparam name="TOut">Out.</typeparam></member>
        <member name="M:Demo.Text.Bag`1.Put(System.String)"><summary>Puts.</summary></member>
        <member name="M:Demo.Text.Bag`1.Put(System.Object)"><summary>Puts.</summary></member>
        <member name="M:Demo.Text.Bag`1.Put(System.Char)"><summary>Puts a character.</summary></member>
        <member name="M:Demo.Text.Bag`1.Demo#IThing#Run"><summary>Explicit.</summary></member>
        <member name="M:Demo.Text.Bag`1.op_Addition(Demo.Text.Bag{`0},Demo.Text.Bag{`0})"><summary>Adds bags.</summary></member>
        <member name="P:Demo.Text.Bag`1.Item(System.Int32)"><summary>Gets an item.</summary><param name="index">Where.</param></member>
        <member name="P:Demo.Text.Bag`1.Cursor.Current"><summary>The item.</summary></member>
        <member name="F:Demo.Text.Bag`1.None"><inheritdoc /></member>
        <member name="T:Startup"><summary>Outside any namespace.</summary></member>
        <member name="F:Demo.Text.Bag`1.Hidden"><summary>This API supports the framework and is not for you.</summary></member>
        <member name="E:Demo.Text.Bag`1.Changed"><summary>Raised. <code>x += y;</code></summary></member>
        </members></doc>
        """;

    [Fact]
    public void Members_become_signature_summary_namespace_parameters_and_returns()
    {
        Dictionary<string, ApiDocument> documents = Read(Sample).ToDictionary(document => document.Signature);

        string[] expected =
        [
            "Bag<TItem> type", "Bag<TItem>(int size) constructor", "Bag<TItem>.Add(TItem item, IEnumerable<TItem> others, ref int? count) method",
            "Bag<TItem>.Addition(Bag<TItem>, Bag<TItem>) operator", "Bag<TItem>.Cast<TOut>(TOut[], TItem[,]) method", "Bag<TItem>.Changed event",
            "Bag<TItem>.Cursor type", "Bag<TItem>.Cursor.Current property", "Bag<TItem>.Put(char) method", "Bag<TItem>.Put(object) method",
            "Bag<TItem>.this[int index] indexer",
        ];
        Assert.Equal(expected.Order(StringComparer.Ordinal), documents.Keys.Order(StringComparer.Ordinal));

        Assert.Equal(
            "Bag<TItem>.Add(TItem item, IEnumerable<TItem> others, ref int? count) method\n" +
            "Adds item null to the Bag<TItem>, see Bag<TItem>.Add and Bag<TItem>.Put.\nNamespace: Demo.Text\n" +
            "Parameters:\nitem: The item.\nothers: More items.\nReturns: true if added.",
            documents[expected[2]].Text);
        Assert.All(documents.Values, document =>
        {
            Assert.Equal("Demo.Text.Bag`1", document.DeclaringType);
            Assert.StartsWith(document.CompletionPrompt, document.Text, StringComparison.Ordinal);
            Assert.StartsWith(document.ClassificationPrompt + ApiDocument.GroupContinuation(document.NamespaceGroup), document.Text + "\n", StringComparison.Ordinal);
        });
        Assert.Equal("Raised.", documents["Bag<TItem>.Changed event"].Summary);
    }

    [Fact]
    public void Malformed_documentation_is_an_error_that_names_the_file()
    {
        InvalidDataException error = Assert.Throws<InvalidDataException>(() => Read("<doc><members>"));
        Assert.Contains("sample-", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_installed_documentation_divides_by_type()
    {
        IReadOnlyList<ApiDocument> documents = SdkDocumentation.Read(SdkDocumentation.Locate());
        CorpusSplit split = CorpusSplit.Divide(documents);
        output.WriteLine($"{documents.Count} documents, {documents.Sum(document => (long)document.Text.Length)} characters, " +
            $"{split.HeldOut.Count} held out, {documents.Select(document => document.NamespaceGroup).Distinct().Count()} namespace groups");

        Assert.True(documents.Count > 10_000);
        Assert.Equal(documents.Count, documents.Select(document => document.Id).Distinct().Count());
        Assert.Empty(split.Train.Select(document => document.DeclaringType).Intersect(split.HeldOut.Select(document => document.DeclaringType)));
        Assert.InRange(split.HeldOut.Count / (double)documents.Count, 0.01, 0.08);
        Assert.DoesNotContain(documents, document => document.Text.Contains('\r') || document.Text.Contains("  ", StringComparison.Ordinal) || document.Text.EndsWith('\n'));
        ApiDocument add = Assert.Single(documents, document => document.Id == "M:System.Collections.Generic.List`1.Add(`0)");
        Assert.Equal("List<T>.Add(T item) method", add.Signature);
        Assert.Equal("System.Collections", add.NamespaceGroup);
        Assert.DoesNotContain(documents, document => document.Namespace.StartsWith("System.Runtime.Intrinsics", StringComparison.Ordinal));
    }

    [Fact]
    public void A_held_out_list_finds_its_rows_again_and_counts_the_others()
    {
        string path = Path.Combine(Path.GetTempPath(), $"held-out-{Guid.NewGuid():N}.txt");
        try
        {
            IReadOnlyList<ApiDocument> documents = Read(Sample);
            HeldOutList.Write(path, documents);
            ApiDocument[] changed = [documents[0] with { Text = "other" }, .. documents.Skip(2)];
            (IReadOnlyList<ApiDocument> rows, int different, int missing) = HeldOutList.Read(path, changed);

            Assert.Equal((1, 1, documents.Count - 2), (different, missing, rows.Count));
            Assert.DoesNotContain("Holds", File.ReadAllText(path), StringComparison.Ordinal);
            File.AppendAllText(path, "nonsense\n");
            Assert.Contains($"line {documents.Count + 1}", Assert.Throws<InvalidDataException>(() => HeldOutList.Read(path, documents)).Message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void No_group_continuation_begins_another()
    {
        string[] groups = [.. SdkDocumentation.Read(SdkDocumentation.Locate()).Select(document => document.NamespaceGroup).Distinct().Order(StringComparer.Ordinal)];
        output.WriteLine(string.Join(" ", groups));
        string[] continuations = [.. groups.Select(ApiDocument.GroupContinuation)];
        Assert.All(continuations, one => Assert.DoesNotContain(continuations, other => one != other && other.StartsWith(one, StringComparison.Ordinal)));
    }

    private static IReadOnlyList<ApiDocument> Read(string xml)
    {
        string path = Path.Combine(Path.GetTempPath(), $"sample-{Guid.NewGuid():N}.xml");
        try
        {
            File.WriteAllText(path, xml);
            return SdkDocumentation.Read([path]);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
