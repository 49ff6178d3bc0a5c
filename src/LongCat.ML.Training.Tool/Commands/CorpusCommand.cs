using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.Corpus;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train corpus</c>: what the SDK's documentation holds, and the list of held-out rows.</summary>
internal static class CorpusCommand
{
    public static Command Create()
    {
        Option<string?> heldOut = new("--held-out") { Description = "Write the held-out rows as member names with a hash of their text." };
        Command command = new("corpus", "Read the English XML documentation of the installed .NET SDK and show what is in it.") { heldOut };
        command.SetAction(result =>
        {
            var split = TrainingCorpus.Read();
            Console.WriteLine($"training: {split.Train.Count} documents, {split.Train.Sum(d => (long)d.Text.Length)} characters");
            Console.WriteLine($"held out: {split.HeldOut.Count} documents, {split.HeldOut.Sum(d => (long)d.Text.Length)} characters, by declaring type");
            if (result.GetValue(heldOut) is string path)
            {
                HeldOutList.Write(path, split.HeldOut);
                Console.WriteLine($"written: {path}");
            }

            return CommandHost.Success;
        });
        return command;
    }
}
