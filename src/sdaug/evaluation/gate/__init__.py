"""What does the gate keep of what is right, and what does it refuse of what is wrong?"""
