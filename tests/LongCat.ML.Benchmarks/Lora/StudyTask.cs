using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LongCat.ML.Training.Corpus;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>A row of a task: what is given and what is to be written behind it.</summary>
internal sealed record StudyRow(string Prompt, string Completion);

/// <summary>
/// A task made of the SDK's documentation. Training rows are of types that longcat-nano was trained on, the other two of types that it never saw; learning rates are chosen on
/// <see cref="Selection"/>, and nothing but the figures of the report is read from <see cref="Test"/>.
/// </summary>
internal sealed record StudyTask(string Name, string About, IReadOnlyList<StudyRow> Train, IReadOnlyList<StudyRow> Selection, IReadOnlyList<StudyRow> Test)
{
    /// <summary>A group with fewer training documents is no label.</summary>
    private const int LeastOfGroup = 100;

    private const int LongestSummary = 200;

    /// <summary>The completions that occur, the most frequent one of the training rows first.</summary>
    public IReadOnlyList<string> Labels() =>
        [.. Train.GroupBy(row => row.Completion, StringComparer.Ordinal).OrderByDescending(group => group.Count()).ThenBy(group => group.Key, StringComparer.Ordinal).Select(group => group.Key)];

    /// <summary>The share of test rows with the most frequent completion of the training rows.</summary>
    public double MajorityShare()
    {
        string majority = Labels()[0];
        return Test.Count(row => row.Completion == majority) / (double)Test.Count;
    }

    /// <summary>Makes the two tasks.</summary>
    /// <param name="heldOutList">longcat-nano's held-out.txt.</param>
    /// <param name="train">Training rows of each.</param>
    /// <param name="heldOut">Rows of each of the held-out parts.</param>
    /// <returns>The tasks, and how many listed documents this machine's SDK words differently or lacks.</returns>
    public static (IReadOnlyList<StudyTask> Tasks, int Changed, int Missing) Make(string heldOutList, int train, int heldOut)
    {
        IReadOnlyList<ApiDocument> all = SdkDocumentation.Read(SdkDocumentation.Locate());
        (IReadOnlyList<ApiDocument> unseen, int changed, int missing) = HeldOutList.Read(heldOutList, all);
        IReadOnlyList<ApiDocument> seen = CorpusSplit.Divide(all).Train;
        HashSet<string> groups = [.. seen.CountBy(document => document.NamespaceGroup).Where(group => group.Value >= LeastOfGroup).Select(group => group.Key)];
        return (
        [
            Task("group", "The namespace group from the signature alone: longcat-nano read it behind the summary, and never as an answer",
                document => groups.Contains(document.NamespaceGroup),
                document => new StudyRow($"Which part of .NET has {document.Signature}?\nAnswer:", $" {document.NamespaceGroup}")),
            Task("summary", "The summary as an XML comment below namespace, kind and declaration: longcat-nano wrote it as plain text, before it knew the namespace",
                document => document.Summary.Length <= LongestSummary,
                document => new StudyRow($"// {document.Namespace}, {Kind(document)}\n{Declaration(document)}\n/// <summary>", $" {document.Summary} </summary>")),
        ],
        changed, missing);

        StudyTask Task(string name, string about, Func<ApiDocument, bool> usable, Func<ApiDocument, StudyRow> row)
        {
            return new StudyTask(name, about, Rows(seen, train), Rows(unseen.Where(document => !IsTest(document)), heldOut), Rows(unseen.Where(IsTest), heldOut));

            // Spread evenly over the documents, which lie in the order of their types.
            StudyRow[] Rows(IEnumerable<ApiDocument> documents, int count)
            {
                ApiDocument[] fitting = [.. documents.Where(usable)];
                count = Math.Min(count, fitting.Length);
                return [.. Enumerable.Range(0, count).Select(i => row(fitting[(int)((long)i * fitting.Length / count)]))];
            }
        }
    }

    public static StudyTask Load(string path) => JsonSerializer.Deserialize<StudyTask>(File.ReadAllText(path))!;

    public void Save(string path) => File.WriteAllText(path, JsonSerializer.Serialize(this));

    /// <summary>Half of the held-out types, by another bit of their names' hash than the one that holds them out.</summary>
    private static bool IsTest(ApiDocument document) => (SHA256.HashData(Encoding.UTF8.GetBytes(document.DeclaringType))[31] & 1) == 1;

    private static string Kind(ApiDocument document) => document.Signature[(document.Signature.LastIndexOf(' ') + 1)..];

    private static string Declaration(ApiDocument document) => document.Signature[..document.Signature.LastIndexOf(' ')];
}
