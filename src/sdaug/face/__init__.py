"""Seeing a face: photo, boxes, landmarks, pose."""
